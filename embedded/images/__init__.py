"""Images assembled from packages, for machines that can reach no public image registry.

A recipe (`recipes/`) puts files of Debian packages and of Python wheels into a tree; the tree becomes one
layer of an OCI image, kept in a cache outside the checkout and pushed to the embedded registry when it is
missing there. Where a public registry can be reached nothing of this is in the way of it: these images
have a repository of their own (`slipway/…`) and stand in for no official one.

    python -m embedded.images ensure --registry 127.0.0.1:5000 node postgres:18
"""
