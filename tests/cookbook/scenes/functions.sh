# What scenes share: trees that look like people's, and damage like that of disks.

# bytes N SEED: N bytes that do not compress, the same for a seed.
bytes() { python3 -c 'import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[2]).randbytes(int(sys.argv[1])))' "$1" "$2"; }

# a_tree DIR: some texts, some photos, and what nobody wants to keep.
a_tree() {
    mkdir -p "$1/papers" "$1/photos" "$1/web/node_modules/left-pad" "$1/.cache"
    seq 3000 > "$1/notes.txt"
    seq 9000 > "$1/papers/thesis.tex"
    seq 1 3 9000 > "$1/papers/figures.csv"
    for number in 1 2 3; do bytes 1500000 "photo $number" > "$1/photos/$number.jpg"; done
    echo '<h1>hello</h1>' > "$1/web/index.html"
    bytes 40000 pad > "$1/web/node_modules/left-pad/index.js"
    bytes 40000 cache > "$1/.cache/thumbnails"
}

# a_passphrase: in a file that the settings name.
a_passphrase() {
    mkdir -p ~/.config/warp-portal
    (umask 077 && echo 'correct horse battery staple' > ~/.config/warp-portal/passphrase)
    warp config set passphrase_file ~/.config/warp-portal/passphrase -q
}

# damage FILE OFFSET...: other bytes there.
damage() {
    python3 - "$@" <<'PY'
import sys
with open(sys.argv[1], "r+b") as file:
    for text in sys.argv[2:]:
        offset = int(text) if not text.startswith("-") else file.seek(0, 2) + int(text)
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x55]))
PY
}

# killed PATTERN BYTES COMMAND...: the command, killed (-9) as soon as a file that matches has so many bytes, which it must not survive.
killed() {
    local pattern=$1 bytes=$2
    shift 2
    "$@" > /dev/null 2>&1 &
    local process=$!
    while [ "$(stat -c %s $pattern 2> /dev/null || echo 0)" -lt "$bytes" ] && kill -0 "$process" 2> /dev/null; do :; done
    kill -9 "$process" 2> /dev/null || true
    wait "$process" 2> /dev/null && return 1
    [ "$?" = 137 ]
}
