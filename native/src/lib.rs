//! What is too slow in Python, or there only in Rust. A thin binding to raft-rs: it adds a storage view over entries in
//! memory and batches calls; all protocol decisions are raft-rs's, all input and output is the caller's. And the fast way
//! of many records: through an OrientDB export and back in `export`, into the store in `record`, and from there into a scan's
//! answers in `scan`.

mod configuration;
mod convert;
mod core;
mod export;
mod json;
mod ready;
mod record;
mod scan;
mod status;
mod view;
mod wire;

use pyo3::prelude::*;

/// Says on stderr what happened before the abort that `panic = "abort"` brings.
fn announce_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        eprintln!("quiesce: the native part cannot go on; the process ends");
        default(info);
    }));
}

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::convert::{describe_snapshot, snapshot_members};
    #[pymodule_export]
    use super::core::{LogCutShort, RaftCore};
    #[pymodule_export]
    use super::export::{cut_records, maybe_dated, KnownRecords, RecordTexts};
    #[pymodule_export]
    use super::ready::{LightReady, Ready};
    #[pymodule_export]
    use super::record::{doubtful_bodies, stored_records};
    #[pymodule_export]
    use super::scan::pack_records;
    #[pymodule_export]
    use super::status::Status;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        announce_panics();
        Ok(())
    }
}
