"""The outside of transfers: who this machine is and whom it knows, what it keeps of sessions, and how machines find each other."""
