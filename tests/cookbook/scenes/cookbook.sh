a_tree work
mkdir -p /mnt/disk /mnt/stick /mnt/second /mnt/new
