"""Archives whose author means harm, and what becomes of damaged ones."""
