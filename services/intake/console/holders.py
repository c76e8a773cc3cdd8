"""Binds each holder to one account of the identity provider, at the first sign-in."""

from services.intake.console.id_token import NotSignedIn, SignedIn
from shared.messaging.unit_of_work import UnitOfWork

_BIND = """
INSERT INTO console_holder (holder, issuer, subject, bound_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_BOUND = "SELECT EXISTS (SELECT FROM console_holder WHERE holder = $1 AND issuer = $2 AND subject = $3)"


async def bind(tx: UnitOfWork, who: SignedIn) -> None:
    """Binds the holder to the account that signs in, if neither is bound yet.

    Raises:
        NotSignedIn: the holder belongs to another account, or the account to another holder.
    """
    account = (who.holder, who.issuer, who.subject)
    await tx.connection.execute(_BIND, *account, tx.now)
    if not await tx.connection.fetchval(_BOUND, *account):
        raise NotSignedIn(
            f"{who.holder}: the name or the account is bound to another account or name, since one person must not be"
            " two; sign in under the name of your first sign-in, or have an operator release it"
        )
