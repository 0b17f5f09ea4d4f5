"""Files: the packed model, the codes of a checkpoint, and writing any file in one step."""

from autocompress.storage.atomic import write_bytes, write_text
from autocompress.storage.codec import decode, encode
from autocompress.storage.packed import PackedModel, entropy_coder, pack, read, write

__all__ = [
    "PackedModel",
    "decode",
    "encode",
    "entropy_coder",
    "pack",
    "read",
    "write",
    "write_bytes",
    "write_text",
]
