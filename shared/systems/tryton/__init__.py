"""The CRM: Tryton 8, where a customer is a party with addresses and contact mechanisms."""
