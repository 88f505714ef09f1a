a_tree work
a_tree www
mkdir work/tools
echo 'print("hello")' > work/tools/hello.py
a_passphrase
warp config get passphrase_file | xargs cat > pass
chmod 600 pass
