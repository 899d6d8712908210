"""Room on a node's disk: how much is kept free, what is refused below that, and how a node goes on by itself."""

from nodes.room.watch import RoomWatch, wait_for_room
from nodes.room.watermark import Watermark, default_reserve, free_bytes

__all__ = ["RoomWatch", "Watermark", "default_reserve", "free_bytes", "wait_for_room"]
