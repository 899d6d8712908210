"""The one home of gRPC servers and channels: limits, keep-alive, errors in transit, credentials."""

from quiesce.rpc.channel import open_channel
from quiesce.rpc.intake import Intake
from quiesce.rpc.server import Server, open_server
from quiesce.rpc.status import error_of, raise_for, typed_errors

__all__ = ["Intake", "Server", "error_of", "open_channel", "open_server", "raise_for", "typed_errors"]
