"""Identity stitching: an anonymous journey becomes a user's, and twins are taken back."""
