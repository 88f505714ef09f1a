damage home.warp -4000
