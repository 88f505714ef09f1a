python3 - <<'PY'
data = open("home.warp", "rb").read()
first = next(at for at in range(0, len(data), 4096) if data[at : at + 8] == b"WCOMMIT1")
open("home.warp", "wb").write(data[: first + 256])
PY
