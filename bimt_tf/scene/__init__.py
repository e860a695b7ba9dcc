"""What a picture of a network shows, as data: figures/ and viewer/ draw it."""
