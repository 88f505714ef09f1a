warp key keygen sign.key --kind signing -q > sign.pub
warp key keygen new-sign.key --kind signing -q > new-sign.pub
warp create shared.warp work --sign sign.key -q
warp append shared.warp work --sign sign.key -q
cp -r ~/.local/state state-before
warp append shared.warp work --sign new-sign.key -q 2> /dev/null
rm -rf ~/.local/state && cp -r state-before ~/.local/state
