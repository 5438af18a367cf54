"""What the Python client programs share: the board of results and the facts they check."""
