damage home.warp 300
