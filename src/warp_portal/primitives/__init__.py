"""Layer 1: small, pure pieces that archives, transfers and portals share."""
