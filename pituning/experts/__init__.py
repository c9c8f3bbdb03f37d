"""Parameter-efficient experts: kinds, flat layout, cards, import and export."""
