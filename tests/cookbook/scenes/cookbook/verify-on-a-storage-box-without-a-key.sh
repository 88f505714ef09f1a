a_passphrase
warp create home.warp work -x node_modules -q
bytes 3000000 'photo 4' > work/photos/4.jpg
echo 'a thought' >> work/notes.txt
warp append home.warp work -x node_modules -q
