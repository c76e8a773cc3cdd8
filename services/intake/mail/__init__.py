"""Mail: letters go out to whoever asked by e-mail, and what comes to our mailbox is proposed to a person."""
