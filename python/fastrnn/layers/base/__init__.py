"""What every layer stands on: named parameters in one flat array, modules, random numbers, dropout."""
