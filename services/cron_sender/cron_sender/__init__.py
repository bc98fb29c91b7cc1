"""Takes the clock; gives one tick a minute; owns nothing."""
