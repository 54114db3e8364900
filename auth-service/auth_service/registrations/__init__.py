"""Registration: whoever may, makes an account of their own."""
