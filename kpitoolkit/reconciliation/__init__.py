"""Do the figures of marketing and of finance tell one story: definitions, measures, exact bridges, scorecard, roll-up."""
