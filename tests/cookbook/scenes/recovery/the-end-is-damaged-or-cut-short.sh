truncate -s -9000 home.warp
