"""The manual pages: generated from the commands themselves, with what no command says of itself beside it."""
