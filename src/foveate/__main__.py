"""python -m foveate is the program foveate."""

from foveate.cli.main import main

if __name__ == "__main__":
    main()
