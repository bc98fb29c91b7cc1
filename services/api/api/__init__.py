"""Takes HTTP; gives what is stored and what is happening; reads only."""
