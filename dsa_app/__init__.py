"""What every command uses: configuration, console, errors, locks, the processes of torchrun."""
