damage home.warp 2000000
