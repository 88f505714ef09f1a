"""Fuzzing of every parser (docs/security.md): targets, kept inputs, and the engines that look for new ones.

    sections   inputs made of parts, and corpora, which are such a list too
    targets    the list of the Python targets, which live in structures, texts, proofs, protocol, sessions, transport and whole
    forging    an archive with anything in it, and sums that fit
    engine     builds and runs libFuzzer and Atheris over a target (`./dev soak fuzz`)
    seeds      valid inputs to begin with (`python -m tests.fuzz seeds`)

The targets of the Rust core are in rust/fuzz; their corpora lie here, beside the others.
"""
