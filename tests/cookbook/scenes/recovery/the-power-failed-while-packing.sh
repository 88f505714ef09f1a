mkdir big
bytes 100000000 big > big/film.mkv
for try in 1 2 3 4 5; do
    killed created.warp 30000000 warp create created.warp big --checkpoint-bytes 8M && break
    rm -f created.warp
done
cp -r ~/.local/state state-before
for try in 1 2 3 4 5; do
    killed home.warp 40000000 warp append home.warp work big --checkpoint-bytes 8M && break
    cp /mnt/second/home.warp . && rm -rf ~/.local/state && cp -r state-before ~/.local/state
done
warp create compacted.warp big -q
warp append compacted.warp work -q
for try in 1 2 3 4 5; do
    cp -r compacted.warp kept.warp
    killed 'compacted.warp.compact-*' 1 warp forget compacted.warp --keep-last 1 --compact && break
    mv kept.warp compacted.warp
done
rm kept.warp
