//! `@fieldTypes`: which field is of which type, as `name=code,name=code`. Engines from 3.2 on write it twice.

/// Whether a list holds every entry of an earlier one, so that the earlier one can go.
pub fn holds(late: &[u8], early: &[u8]) -> bool {
    if late == early || (late.starts_with(early) && late.get(early.len()) == Some(&b',')) {
        return true;
    }
    early
        .split(|byte| *byte == b',')
        .filter(|entry| !entry.is_empty())
        .all(|entry| late.split(|byte| *byte == b',').any(|other| other == entry))
}
