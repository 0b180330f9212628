"""What every command stands on: settings, console, errors, processes, atomic files."""
