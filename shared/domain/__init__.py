"""Decides what the law and the policy say, and defines the bus; pure, so it imports nothing else of the product.

The request: ``rights``, ``operations``, ``errors``, ``events``, ``topics``, ``user_events``, ``reference``.
The person: ``identities``, ``proofs``, ``assignments`` (whose a number was), ``precedence``, ``holds``, ``release``.
Time: ``clock``, ``time_limit``, ``time_limit_policy``, ``working_days``. Policy: ``policy``, ``policy_files``.
Words: ``sentences``, ``wording``, ``policy_words``, ``cells``, ``notices``, ``mail_content``, ``text``.
Files and settings: ``toml_file``, ``configuration``. No other package is below it.
"""
