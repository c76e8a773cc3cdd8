"""What of the manifests could drift from the code: topics, users and their rights, settings, scaling, rules."""
