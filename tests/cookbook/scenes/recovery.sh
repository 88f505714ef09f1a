a_tree work
mkdir -p /mnt/dying /mnt/second /mnt/stick
a_passphrase
warp create home.warp work -q
echo 'a thought' >> work/notes.txt
warp append home.warp work -q
cp home.warp /mnt/second/home.warp
