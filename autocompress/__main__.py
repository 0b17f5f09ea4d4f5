"""``python -m autocompress``: the command line."""

from autocompress.cli import main

if __name__ == "__main__":
    main()
