"""Limits that both ends of a connection must know; documented in docs/limits.md."""

MEBIBYTE = 1 << 20

# A record's body; OrientDB has no limit, but a log entry must fit a message and a message must fit memory.
RECORD_BYTES = 8 * MEBIBYTE
# The bodies of one batch together.
BATCH_BYTES = 16 * MEBIBYTE
BATCH_OPERATIONS = 10_000
# Bytes of a file that a coordinator takes before it says so.
WINDOW_BYTES = 4 * MEBIBYTE
# One gRPC message: a full batch with its framing.
MESSAGE_BYTES = 24 * MEBIBYTE
GET_IDS = 10_000
# The records of one get; a lookup says that it was cut off there.
ANSWER_BYTES = 16 * MEBIBYTE

# Databases of one cluster, and their definitions: a listing of all of them is one message.
DATABASES = 1_000
DEFINITION_BYTES = 8 * MEBIBYTE
DEFINITIONS_BYTES = 16 * MEBIBYTE

# Client sessions, and the outcomes that are kept for their retries: of one session, and of all.
SESSIONS = 65_536
SESSION_OUTCOMES = 1_024
OUTCOMES = 262_144
OUTCOMES_BYTES = 256 * MEBIBYTE

# --- what a node has in memory for its callers

# Connections, those of its peers among them; the next is closed at once.
CONNECTIONS = 2_048
# Calls of one connection; a caller's own gRPC holds back the rest.
CONNECTION_CALLS = 2_048
# Requests that are read at the same time; the others wait in their callers' gRPC.
READ_AT_ONCE = 8
# And those among them that take longer than a moment have so many places of their own.
LARGE_REQUESTS = 4
# Answers of reads that are more than a quarter of a mebibyte: being made, or on their way out.
LARGE_ANSWERS = 4
# All answers that are on their way out, but for small ones. Each takes three times its size on the way.
ANSWERS_BYTES = 64 * MEBIBYTE

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that comes back must be seen soon: the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

SERVER_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # A client that vanished in the network in the middle of a scan would hold its place and a view of the store for
    # hours: with nothing on its way to it, TCP has nothing to miss. One that is only stopped is given a minute.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    # What comes with a call before anybody reads it: without this gRPC lets it grow to megabytes a call.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 64 << 10),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS),
    ("grpc.max_concurrent_streams", CONNECTION_CALLS),
    # Two daemons on one port would share its connections in silence.
    ("grpc.so_reuseport", 0),
]
