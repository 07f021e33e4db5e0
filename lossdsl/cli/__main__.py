"""`python -m lossdsl.cli`, for where the script is not on the path."""

from lossdsl.cli.shell import main

if __name__ == "__main__":
    main(prog_name="lossdsl")
