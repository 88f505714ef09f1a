a_passphrase
warp create home.warp work -q
