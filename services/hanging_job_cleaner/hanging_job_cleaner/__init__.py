"""Takes the state of builds and jobs; gives commands and removals; owns nothing."""
