"""The resource types: one test file for each file of provisioner/resources."""
