import uuid

from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Permit',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('key', models.CharField(max_length=255)),
                ('task_id', models.CharField(max_length=255)),
                ('taken_at', models.DateTimeField()),
                ('until', models.DateTimeField(db_index=True)),
            ],
            options={
                'indexes': [models.Index(fields=['key', 'until'], name='limits_permits_of_key')],
            },
        ),
        migrations.CreateModel(
            name='UniqueJob',
            fields=[
                ('key', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('task_id', models.CharField(max_length=255)),
                ('run', models.UUIDField(null=True)),
                ('until', models.DateTimeField(db_index=True)),
            ],
        ),
    ]
