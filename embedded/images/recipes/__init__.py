"""One file per image: which packages it is made of and where their files go."""
