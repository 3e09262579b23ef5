"""The decoders of what is only read: one test file for each file of provisioner/resources/rows."""
