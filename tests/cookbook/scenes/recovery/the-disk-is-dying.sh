cp home.warp /mnt/dying/
rm home.warp
damage /mnt/dying/home.warp 2000000
