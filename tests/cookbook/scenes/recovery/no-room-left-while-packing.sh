mkdir small
mount -t tmpfs -o size=3m none small 2> /dev/null || exit 77 # only root may
printf '#!/bin/sh\nmount -o remount,size=30m %s/small\n' "$HOME" > make-room
chmod +x make-room
