"""The soft normalized cut, by its definition and with gradients in closed form."""
