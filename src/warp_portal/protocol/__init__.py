"""The transfer protocol without I/O: what two machines say to each other, as docs/transfer-protocol.md has it."""
