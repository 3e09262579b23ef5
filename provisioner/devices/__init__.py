"""A device -> a sending method -> the resources that it takes, and what to type into it. Pure."""
